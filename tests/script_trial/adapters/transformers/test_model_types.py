"""Which type of model an id names."""

from __future__ import annotations

import pytest

from script_trial.adapters.transformers.model_types import model_type_of

pytest.importorskip("transformers")


@pytest.mark.parametrize(
    ("model_id", "model_type"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", "qwen2"),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2_5_vl"),
        ("Qwen/Qwen3-30B-A3B", "qwen3_moe"),
        ("Qwen/Qwen3-8B", "qwen3"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", "qwen2"),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "llama"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama"),
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "llama"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral"),
        ("google/gemma-3-4b-it", "gemma3"),
        ("google/gemma-3-1b-it", "gemma3_text"),
        ("google-bert/bert-base-uncased", "bert"),
        ("FacebookAI/roberta-large", "roberta"),
        ("FacebookAI/xlm-roberta-base", "xlm-roberta"),
        ("distilbert/distilbert-base-uncased-finetuned-sst-2-english", "distilbert"),
        ("sentence-transformers/all-MiniLM-L6-v2", "bert"),
        ("BAAI/bge-m3", "xlm-roberta"),
        ("openai/clip-vit-base-patch32", "clip"),
        ("google/vit-base-patch16-224", "vit"),
        ("google/flan-t5-small", "t5"),
        ("openai/whisper-large-v3", "whisper"),
        ("llava-hf/llava-1.5-7b-hf", "llava"),
        ("openai-community/gpt2", "gpt2"),
        ("state-spaces/mamba2-130m", "mamba2"),
        ("my-lab/our-model", None),
    ],
)
def test_type(model_id: str, model_type: str | None) -> None:
    assert model_type_of(model_id) == model_type
