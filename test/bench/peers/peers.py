"""What users would pick instead, one peer a run: prints a line of JSON for each figure. See ../parts/peers.ts and ../parts/python.ts.

    python peers.py PEER FOLDER [GIVEN]
"""

import importlib
import json
import sys
from pathlib import Path

# Each is imported where it is asked for: MLflow lies in an environment that the others do not.
PEERS = {
    "optistore": ("python_client", "Streamed"),
    "optistore-files": ("python_client", "FromFiles"),
    "flight": ("flight", "FlightInFile"),
    "flight-memory": ("flight", "FlightInMemory"),
    "pickle": ("pickles", "Pickles"),
    "sqlalchemy": ("blobs", "Blobs"),
    "h5py": ("hdf5", "Hdf5"),
    "postgres-bytea": ("postgresql", "Bytea"),
    "postgres-copy": ("postgresql", "CopyBinary"),
    "s3": ("s3", "S3"),
    "optuna": ("studies", "Studies"),
    "optuna-streamed": ("studies_streamed", "StudiesStreamed"),
    "mlflow": ("runs", "Runs"),
}

if __name__ == "__main__":
    module, kind = PEERS[sys.argv[1]]
    peer = getattr(importlib.import_module(f"stores.{module}"), kind)
    for name, what, unit, value, beside in peer(Path(sys.argv[2]), *sys.argv[3:]).figures():
        print(json.dumps({"id": name, "what": what, "unit": unit, "value": value, "ceilings": beside}), flush=True)
