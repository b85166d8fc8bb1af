def add_models(parser):
    parser.add_argument("--model_id_with_origin_paths")
    parser.add_argument("--model_paths")


def add_memory(parser):
    parser.add_argument("--initialize_model_on_cpu", action="store_true")


def add_patch(parser):
    parser.add_argument("--enable_npu_patch", action="store_true")
