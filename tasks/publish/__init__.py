"""From commits to the manifest that readers see; gate suggestions; garbage collection."""
