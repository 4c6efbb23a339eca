"""What a run leaves so that nothing about it has to be believed: manifests, fingerprints, and the rules of resuming."""
