parser = ArgumentParser(
