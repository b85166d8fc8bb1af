"""Models made small: configs cut down by rule, random weights, made-up vocabularies."""
