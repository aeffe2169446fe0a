"""Our numbers beside those of diffusers and transformers.

This is the only room of the package that imports either library.

    reference.py    twins: the classes of diffusers and transformers, built from our configs,
                    holding our weights, called with our arguments
    record.py       one network run alone, with what every module of it returned
    trace.py        both networks run side by side; the first tensor at which they part
    full_depth.py   all sixty blocks at full width, one at a time, without a file of weights
    tolerances.py   how far apart two numbers may be, and why: one table for every test
    validate/       `qwenimage validate`: every stage of a checkpoint (stages.py), both networks
                    built from its files a layer at a time (sides.py), public numbers of the
                    released weights (public_numbers.py), the report (report.py)
    grade/          `make grade`: every part of the model path as a learner wrote it (ours.py)
                    beside the reference's (their_networks.py, their_pipeline.py)
    bench/          speed and memory beside diffusers and peft

    ours = random_weights(MMDiT(config), seed=0)
    theirs = copy_weights(ours, reference_mmdit(config))
    print(trace(ours, theirs, inputs))
"""
