"""DistilBERT on the reviews of IMDb, with a loop of its own: the data set comes from the hub."""

import torch
from datasets import load_dataset
from torch.utils.data import DataLoader
from transformers import AutoModelForSequenceClassification, AutoTokenizer

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
torch.manual_seed(0)
reviews = load_dataset("stanfordnlp/imdb", split="train").shuffle(seed=0).select(range(1000))
tokenizer = AutoTokenizer.from_pretrained("distilbert/distilbert-base-uncased")


def tokenize(batch):
    return tokenizer(batch["text"], truncation=True, padding="max_length", max_length=128)


reviews = reviews.map(tokenize, batched=True).rename_column("label", "labels")
reviews.set_format("torch", columns=["input_ids", "attention_mask", "labels"])
model = AutoModelForSequenceClassification.from_pretrained("distilbert/distilbert-base-uncased", num_labels=2, dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0
)
model.to(device).train()
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)
for step, batch in enumerate(DataLoader(reviews, batch_size=16)):
    batch = {name: value.to(device) for name, value in batch.items()}
    loss = model(**batch).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    print(f"step {step}: loss {loss.item():.4f}")
torch.save(model.state_dict(), "classifier.pt")
