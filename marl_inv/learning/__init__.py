"""Training by Tianshou: its trainer, parameters, loggers and algorithms, over whole batches of the
simulator."""
