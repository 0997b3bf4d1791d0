"""What trainings have in common: variants, the loop, checkpoints, teachers, logs."""
