#pragma once

/// Includes all of Levin and LibTorch. Use it in programs; in larger projects, headers such as
/// <levin/framework/trainer/trainer.h> compile faster.

#include <torch/torch.h>

#include <levin/callbacks/defaults.h>
#include <levin/callbacks/early_stopping.h>
#include <levin/callbacks/gradient_accumulation_scheduler.h>
#include <levin/callbacks/learning_rate_monitor.h>
#include <levin/callbacks/model_checkpoint.h>
#include <levin/callbacks/model_summary.h>
#include <levin/callbacks/progress_bar.h>
#include <levin/callbacks/progressive_validation.h>
#include <levin/callbacks/timer.h>
#include <levin/cli/command_line.h>
#include <levin/datamodules/array.h>
#include <levin/datamodules/digits.h>
#include <levin/datamodules/iris.h>
#include <levin/datamodules/mnist.h>
#include <levin/datamodules/sparse.h>
#include <levin/datamodules/stream.h>
#include <levin/datamodules/synthetic_clicks.h>
#include <levin/datamodules/table.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/checkpoint/torch_file.h>
#include <levin/framework/config/load_module.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/sparse_rows.h>
#include <levin/framework/loggers/console_logger.h>
#include <levin/framework/loggers/csv_logger.h>
#include <levin/framework/loggers/json_lines_logger.h>
#include <levin/framework/loggers/mlflow_logger.h>
#include <levin/framework/loggers/tensorboard_logger.h>
#include <levin/framework/metrics/all.h>
#include <levin/framework/nn/sync_batch_norm.h>
#include <levin/framework/optimizers/all.h>
#include <levin/framework/profiling/trace_profiler.h>
#include <levin/framework/solvers/all.h>
#include <levin/framework/strategies/strategy.h>
#include <levin/framework/tensor/device.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/chain_loss.h>
#include <levin/models/linear.h>
#include <levin/models/linear_regression.h>
#include <levin/models/linear_regression_cv.h>
#include <levin/models/logistic_regression.h>
#include <levin/models/logistic_regression_cv.h>
#include <levin/models/logistic_regression_path.h>
#include <levin/models/many_regressions.h>
#include <levin/models/mlp.h>
#include <levin/models/onnx_model.h>
