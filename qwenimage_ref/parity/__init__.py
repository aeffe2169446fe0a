"""Our numbers beside those of diffusers and transformers.

This is the only room of the package that imports either library.

    reference.py    twins: the classes of diffusers and transformers, built from our configs,
                    holding our weights, called with our arguments
    trace.py        both networks run side by side; the first tensor at which they part
    depth.py        all sixty blocks at full width, one at a time, without a file of weights
    tolerances.py   how far apart two numbers may be, and why: one table for every test
    validate.py     `qwenimage validate`: a checkpoint's every stage (stages.py), both networks
                    built from its files a layer at a time (sides.py), public numbers of the
                    released weights (gates.py), what is said of all that (report.py)
    grade.py        `make grade`: every part of the model path as a reader wrote it, networks
                    (grade_networks.py) and words, sampler, pipeline (grade_pipeline.py)

    ours = random_weights(MMDiT(config), seed=0)
    theirs = copy_weights(ours, reference_mmdit(config))
    print(trace(ours, theirs, inputs))
"""
