"""What knows no inventory: errors, records of files, documents, files on disk, progress, the machine."""
