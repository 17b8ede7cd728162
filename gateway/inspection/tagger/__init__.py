"""The trained tagger: names of persons, places and organisations and the like, by a model in the package."""
