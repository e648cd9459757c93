"""Plan a study on this machine: runs with ids, counts, costs and warnings; nothing is trained."""
