"""Tables: read a CSV file, split its rows, and encode its columns as the inputs and targets of a net."""

from microtensor.tables.encoder import Encoder
from microtensor.tables.table import Table

__all__ = ["Encoder", "Table"]
