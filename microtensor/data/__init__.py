"""Batches of examples: datasets, samplers, and the DataLoader."""

from microtensor.data.collate import default_collate
from microtensor.data.dataset import Subset, TensorDataset, random_split
from microtensor.data.loader import DataLoader
from microtensor.data.sampler import (
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "DataLoader",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "random_split",
]
