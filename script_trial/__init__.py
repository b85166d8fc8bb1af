"""Running scripts small, on made-up weights and on whatever library is installed, and recording what they computed.

    adapter.py     what a library's adapter tells a trial, and what the trial does for it
    adapters/      an adapter for each library that is known
    launches/      what `accelerate`, `torchrun` and the like start, on few processes
    stock.py       what scripts need alike, made once before they are forked
    server.py      a process that runs scripts, one job after the other: `diffsynth-port verify` starts three

Importing it imports nothing else: neither torch nor a library.
"""
