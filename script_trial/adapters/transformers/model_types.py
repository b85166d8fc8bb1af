"""Which type of model an id of a hub names: ``Qwen/Qwen2.5-VL-7B-Instruct`` is a ``qwen2_5_vl``."""

from __future__ import annotations

import re

# The first that is found in the id, without regard to case, decides. Names that only contain a type's own name in
# full need no row: see `model_type_of`.
_NAMES: tuple[tuple[str, str], ...] = (
    (r"qwen2\.5-omni", "qwen2_5_omni"),
    (r"qwen2\.5-vl", "qwen2_5_vl"),
    (r"qwen2-vl", "qwen2_vl"),
    (r"qwen3-vl.*-a\d+b", "qwen3_vl_moe"),
    (r"qwen3-vl", "qwen3_vl"),
    (r"qwen2-audio", "qwen2_audio"),
    (r"qwen3.*-a\d+b", "qwen3_moe"),
    (r"qwen3\.5", "qwen3_5"),
    (r"qwen3", "qwen3"),
    (r"qwen1\.5-moe", "qwen2_moe"),
    (r"qwen|qwq|deepseek-r1-distill-qwen", "qwen2"),
    (r"llava-onevision", "llava_onevision"),
    (r"llava-(v1\.6|next)", "llava_next"),
    (r"llava|bakllava", "llava"),
    (r"internvl", "internvl"),
    (r"smolvlm|idefics3", "idefics3"),
    (r"llama-4", "llama4"),
    (r"llama-3\.2-\d+b-vision", "mllama"),
    (r"smollm3", "smollm3"),
    (r"llama|vicuna|alpaca|smollm|/yi-|deepseek-(llm|coder)|sailor|solar|zephyr-.*-llama", "llama"),
    (r"mixtral", "mixtral"),
    (r"mistral-small-3|mistral-small-24b", "mistral3"),
    (r"pixtral", "llava"),
    (r"mistral|zephyr|openhermes", "mistral"),
    (r"paligemma", "paligemma"),
    (r"gemma-3n", "gemma3n"),
    (r"gemma-3-(1b|270m)", "gemma3_text"),
    (r"gemma-3|medgemma", "gemma3"),
    (r"gemma-2", "gemma2"),
    (r"gemma", "gemma"),
    (r"phi-?(3|3\.5|4)", "phi3"),
    (r"phi-?(1|2)", "phi"),
    (r"gpt-oss", "gpt_oss"),
    (r"gpt-neox|pythia", "gpt_neox"),
    (r"gpt-neo", "gpt_neo"),
    (r"gpt-j", "gptj"),
    (r"starcoder2", "starcoder2"),
    (r"gpt2|dialogpt", "gpt2"),
    (r"deepseek-(v3|r1)", "deepseek_v3"),
    (r"deepseek-v2", "deepseek_v2"),
    (r"chatglm|glm-4", "glm"),
    (r"opt-\d", "opt"),
    (r"xlm-roberta|bge-m3|bge-reranker|multilingual-e5|paraphrase-multilingual", "xlm-roberta"),
    (r"all-mpnet|mpnet", "mpnet"),
    (r"all-distilroberta|codebert|twitter-roberta|roberta", "roberta"),
    (r"distilbert|distil.*bert", "distilbert"),
    (r"deberta-v[23]", "deberta-v2"),
    (r"deberta", "deberta"),
    (r"modernbert", "modernbert"),
    (r"albert", "albert"),
    (r"all-minilm|minilm|/bge-|/e5-|/gte-|finbert|scibert|biobert|bert", "bert"),
    (r"electra", "electra"),
    (r"umt5", "umt5"),
    (r"mt5", "mt5"),
    (r"(flan-)?t5|t0pp", "t5"),
    (r"bart-|bart$", "bart"),
    (r"pegasus", "pegasus"),
    (r"opus-mt|marian", "marian"),
    (r"nllb", "m2m_100"),
    (r"siglip2", "siglip2"),
    (r"siglip", "siglip"),
    (r"clipseg", "clipseg"),
    (r"clip", "clip"),
    (r"blip2|blip-2", "blip-2"),
    (r"blip", "blip"),
    (r"dinov2", "dinov2"),
    (r"deit", "deit"),
    (r"swin", "swin"),
    (r"beit", "beit"),
    (r"vit-mae", "vit_mae"),
    (r"vit-|vit$", "vit"),
    (r"resnet", "resnet"),
    (r"convnext", "convnext"),
    (r"segformer", "segformer"),
    (r"depth-anything", "depth_anything"),
    (r"dpt-", "dpt"),
    (r"detr-", "detr"),
    (r"yolos", "yolos"),
    (r"owlv2", "owlv2"),
    (r"owlvit", "owlvit"),
    (r"grounding-dino", "grounding-dino"),
    (r"sam-vit|segment-anything", "sam"),
    (r"whisper", "whisper"),
    (r"wav2vec2", "wav2vec2"),
    (r"hubert", "hubert"),
    (r"musicgen", "musicgen"),
)


def model_type_of(model_id: str) -> str | None:
    """The type of model that an id names; None where the id tells none."""
    for pattern, model_type in _NAMES:
        if re.search(pattern, model_id, re.IGNORECASE):
            return model_type
    return _contained(model_id.rpartition("/")[2])


def _contained(name: str) -> str | None:
    """The longest of transformers' types that a name holds, with any marks between its parts."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    plain = _letters(name)
    fitting = [one for one in CONFIG_MAPPING_NAMES if len(one) > 2 and _letters(one) in plain]
    return max(fitting, key=len, default=None)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
