"""Comparisons of our networks with those of diffusers and transformers.

This is the only room of the package that imports either library.

    reference.py          the classes of both libraries with our configs and our weights
    reference_picture.py  whole pictures by diffusers' pipeline
    record.py             one network run alone, and what every module of it returned
    trace.py              two networks run side by side, and the first tensor that differs
    tolerances.py         how far two numbers may differ, and why: one table for every test
    full_depth.py         all sixty blocks at full width, one at a time, without weight files
    validate/             `qwenimage validate`: every stage of a checkpoint beside the reference
    grade/                `make grade`: every part of the model path as a learner wrote it (ours.py)
                          beside the reference (their_networks.py, their_pipeline.py)
    bench/                time and memory beside the reference

    ours = random_weights(MMDiT(config), seed=0)
    theirs = copy_weights(ours, reference_mmdit(config))
    print(trace(ours, theirs, inputs))
"""

from ..extras import demand_extra_for_command

demand_extra_for_command("parity")
