"""Who does the work: processes of this machine or of a cluster, and what each does with an image."""
