"""One YAML file per problem; the comment on top says why it is interesting and where it is from."""
