from a_package_that_is_not_there import training_parser

training_parser().parse_args()
