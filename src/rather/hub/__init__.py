"""From a name to the thing: a method, classifier, generator, dataset or metric of that name."""
