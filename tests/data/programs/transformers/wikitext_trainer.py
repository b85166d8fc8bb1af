"""GPT-2 on WikiText by the Trainer, the data set from the hub."""

from datasets import load_dataset
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainingArguments,
)

texts = load_dataset("Salesforce/wikitext", "wikitext-2-raw-v1")
tokenizer = AutoTokenizer.from_pretrained("openai-community/gpt2")
tokenizer.pad_token = tokenizer.eos_token
tokens = texts.map(lambda batch: tokenizer(batch["text"], truncation=True, max_length=128), batched=True, remove_columns=["text"])
model = AutoModelForCausalLM.from_pretrained("openai-community/gpt2").to("cuda")
trainer = Trainer(
    model=model,
    args=TrainingArguments("gpt2-wikitext", num_train_epochs=1, per_device_train_batch_size=8, report_to="none"),
    train_dataset=tokens["train"],
    eval_dataset=tokens["validation"],
    data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
)
trainer.train()
trainer.save_model("gpt2-wikitext/final")
