deepspeed --num_gpus 2 train.py --epochs 1 --deepspeed --deepspeed_config zero3.json
