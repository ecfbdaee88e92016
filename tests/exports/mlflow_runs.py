"""Reads the runs of an experiment with MLflow's own client and prints them as JSON."""

import json
import sys

import mlflow
from mlflow.entities import ViewType

mlflow.set_tracking_uri(sys.argv[1])
client = mlflow.MlflowClient()
experiment = client.get_experiment_by_name(sys.argv[2])
runs = client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL, max_results=1000)
found = []
for run in runs:
    curves = {}
    for key in run.data.metrics:
        history = client.get_metric_history(run.info.run_id, key)
        curves[key] = sorted([point.step, point.value] for point in history)
    found.append(
        {
            "id": run.info.run_id,
            "name": run.info.run_name,
            "stage": run.info.lifecycle_stage,
            "status": run.info.status,
            "start": run.info.start_time,
            "end": run.info.end_time,
            "params": run.data.params,
            "tags": run.data.tags,
            "curves": curves,
        }
    )
json.dump(found, sys.stdout)
