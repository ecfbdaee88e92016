"""Reads event files as TensorBoard does. For each run it prints the curves and the data of the
HPARAMS tab, as JSON.
"""

import json
import sys

from tensorboard.backend.event_processing import event_accumulator, plugin_event_multiplexer
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

multiplexer = plugin_event_multiplexer.EventMultiplexer(
    size_guidance={event_accumulator.TENSORS: 0, event_accumulator.SCALARS: 0}
)
multiplexer.AddRunsFromDirectory(sys.argv[1])
multiplexer.Reload()

provider = MultiplexerDataProvider(multiplexer, sys.argv[1])
context = backend_context.Context(base_plugin.TBContext(data_provider=provider))
of = RequestContext()
experiment = context.experiment_from_metadata(of, "", True, context.hparams_metadata(of, ""), [])
request = api_pb2.ListSessionGroupsRequest(
    start_index=0,
    slice_size=10_000,
    aggregation_type=api_pb2.AGGREGATION_AVG,
    allowed_statuses=[api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_RUNNING],
)
request.col_params.extend([api_pb2.ColParams(metric=info.name) for info in experiment.metric_infos])
groups = list_session_groups.Handler(of, context, "", request).run()


def value(hparam):
    return getattr(hparam, hparam.WhichOneof("kind"))


def curves(run):
    accumulator = multiplexer.GetAccumulator(run)
    named = {}
    for tag in accumulator.Tags()["tensors"]:
        if not tag.startswith("_hparams_"):
            points = accumulator.Tensors(tag)
            named[tag] = [
                [point.step, float(point.tensor_proto.float_val[0]), point.wall_time]
                for point in points
            ]
    return named


json.dump(
    {
        "runs": {run: curves(run) for run in multiplexer.Runs() if run != "."},
        "hparams": [info.name for info in experiment.hparam_infos],
        "metrics": [info.name.tag for info in experiment.metric_infos],
        "groups": [
            {
                "name": group.name,
                "hparams": {name: value(hparam) for name, hparam in group.hparams.items()},
                "sessions": [session.name for session in group.sessions],
                "statuses": [api_pb2.Status.Name(session.status) for session in group.sessions],
                "metrics": {metric.name.tag: metric.value for metric in group.metric_values},
            }
            for group in groups.session_groups
        ],
    },
    sys.stdout,
)
