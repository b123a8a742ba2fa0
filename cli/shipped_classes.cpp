#include <levin/cli/shipped_classes.h>

#include <levin/callbacks/backbone_finetuning.h>
#include <levin/callbacks/batch_size_finder.h>
#include <levin/callbacks/device_stats_monitor.h>
#include <levin/callbacks/early_stopping.h>
#include <levin/callbacks/ema_weight_averaging.h>
#include <levin/callbacks/gradient_accumulation_scheduler.h>
#include <levin/callbacks/learning_rate_finder.h>
#include <levin/callbacks/learning_rate_monitor.h>
#include <levin/callbacks/model_checkpoint.h>
#include <levin/callbacks/model_pruning.h>
#include <levin/callbacks/model_summary.h>
#include <levin/callbacks/on_exception_checkpoint.h>
#include <levin/callbacks/parameter_histograms.h>
#include <levin/callbacks/prediction_writer.h>
#include <levin/callbacks/progress_bar.h>
#include <levin/callbacks/progressive_validation.h>
#include <levin/callbacks/slow_step_detector.h>
#include <levin/callbacks/spike_detection.h>
#include <levin/callbacks/stochastic_weight_averaging.h>
#include <levin/callbacks/terminate_on_nan.h>
#include <levin/callbacks/throughput_monitor.h>
#include <levin/callbacks/timer.h>
#include <levin/callbacks/weight_averaging.h>
#include <levin/datamodules/array.h>
#include <levin/datamodules/cifar.h>
#include <levin/datamodules/digits.h>
#include <levin/datamodules/fashion_mnist.h>
#include <levin/datamodules/image_folder.h>
#include <levin/datamodules/iris.h>
#include <levin/datamodules/kfold.h>
#include <levin/datamodules/mnist.h>
#include <levin/datamodules/sparse.h>
#include <levin/datamodules/stream.h>
#include <levin/datamodules/synthetic_clicks.h>
#include <levin/datamodules/table.h>
#include <levin/framework/loggers/console_logger.h>
#include <levin/framework/loggers/csv_logger.h>
#include <levin/framework/loggers/json_lines_logger.h>
#include <levin/framework/loggers/mlflow_logger.h>
#include <levin/framework/loggers/tensorboard_logger.h>
#include <levin/models/linear_regression.h>
#include <levin/models/linear_regression_cv.h>
#include <levin/models/logistic_regression.h>
#include <levin/models/logistic_regression_cv.h>
#include <levin/models/logistic_regression_path.h>
#include <levin/models/many_regressions.h>
#include <levin/models/mlp.h>

namespace levin {
namespace {

void add_models_and_data(Registry& registry) {
  auto& models = registry.models;
  models.add<LogisticRegression>("LogisticRegression", "a linear classifier, two or more classes");
  models.add<LinearRegression>("LinearRegression", "least squares, ridge, lasso or elastic net");
  models.add<LinearRegressionCV>("LinearRegressionCV",
                                 "LassoCV, ElasticNetCV or RidgeCV: chooses the penalty");
  models.add<LogisticRegressionCV>("LogisticRegressionCV",
                                   "LogisticRegression that chooses C by cross-validation");
  models.add<LogisticRegressionPath>("LogisticRegressionPath",
                                     "LogisticRegression with one C after the other");
  models.add<ManyRegressions>("ManyRegressions",
                              "regressions for many targets, groups or penalties at once");
  models.add<MLP>("MLP", "a feed-forward net with any number of hidden layers");

  auto& data = registry.datamodules;
  data.add<ArrayDataModule>("ArrayDataModule", "rows of .npy, .npz or .csv files");
  data.add<SklearnDataModule>("SklearnDataModule", "the same under its name in Lightning Bolts");
  data.add<TableDataModule>("TableDataModule", "CSV files of numbers, texts and missing cells");
  data.add<IrisDataModule>("IrisDataModule", "150 irises, 4 lengths each, 3 species");
  data.add<DigitsDataModule>("DigitsDataModule", "1,797 handwritten digits of 8x8 pixels");
  data.add<MNISTDataModule>("MNISTDataModule", "70,000 handwritten digits of 28x28 pixels");
  data.add<FashionMNISTDataModule>("FashionMNISTDataModule",
                                   "70,000 images of clothes, 28x28 pixels");
  data.add<CIFAR10DataModule>("CIFAR10DataModule", "60,000 images of 3x32x32 pixels in 10 classes");
  data.add<CIFAR100DataModule>("CIFAR100DataModule", "the same in 100 classes or 20 superclasses");
  data.add<ImageFolderDataModule>("ImageFolderDataModule", "PNG and JPEG files, a folder a class");
  data.add<StreamDataModule>("StreamDataModule", "files larger than memory: .lvb, .npy, CSV ...");
  data.add<SparseDataModule>("SparseDataModule", "sparse rows: libsvm, .npz, VW, Criteo, .lvb");
  data.add<SyntheticClicksDataModule>("SyntheticClicksDataModule", "any number of made-up clicks");
  data.add_wrapper<KFoldDataModule>("KFoldDataModule", "one fold of another data module's rows");
}

void add_callbacks_of_weights(CallbackList& callbacks) {
  callbacks.add<WeightAveraging>("WeightAveraging", "validates and saves the mean of the weights");
  callbacks.add<EMAWeightAveraging>("EMAWeightAveraging",
                                    "validates and saves a moving average of the weights");
  callbacks.add<StochasticWeightAveraging>("StochasticWeightAveraging",
                                           "averages the weights of the last epochs");
  callbacks.add<BackboneFinetuning>("BackboneFinetuning",
                                    "trains a part of the model only from some epoch on");
  callbacks.add<ModelPruning>("ModelPruning", "sets the smallest weights to 0");
}

void add_callbacks_that_watch(CallbackList& callbacks) {
  callbacks.add<TerminateOnNaN>("TerminateOnNaN", "stops at a NaN loss and names its rows");
  callbacks.add<SpikeDetection>("SpikeDetection", "stops or warns if the loss jumps");
  callbacks.add<SlowStepDetector>("SlowStepDetector", "warns of batches that take long");
  callbacks.add<ThroughputMonitor>("ThroughputMonitor", "logs batches and rows a second");
  callbacks.add<DeviceStatsMonitor>("DeviceStatsMonitor", "logs memory and processor time");
  callbacks.add<ParameterHistograms>("ParameterHistograms",
                                     "logs histograms of weights and gradients");
  callbacks.add<OnExceptionCheckpoint>("OnExceptionCheckpoint",
                                       "saves a checkpoint if an exception ends the fit");
  callbacks.add<PredictionWriter>("PredictionWriter", "writes predictions as they are made");
}

void add_callbacks_and_loggers(Registry& registry) {
  auto& callbacks = registry.callbacks;
  callbacks.add<ModelCheckpoint>("ModelCheckpoint", "saves checkpoints and keeps the best");
  callbacks.add<EarlyStopping>("EarlyStopping", "stops when a metric has ceased to improve");
  callbacks.add<ProgressBar>("ProgressBar", "shows how far a run is");
  callbacks.add<ModelSummary>("ModelSummary", "lists layers and their parameters");
  callbacks.add<LearningRateMonitor>("LearningRateMonitor", "logs learning rates");
  callbacks.add<LearningRateFinder>("LearningRateFinder", "finds a learning rate by a trial");
  callbacks.add<BatchSizeFinder>("BatchSizeFinder", "finds the largest batch that fits in memory");
  callbacks.add<Timer>("Timer", "measures, and stops training in time");
  callbacks.add<ProgressiveValidation>("ProgressiveValidation",
                                       "prints the loss of rows before they are learned from");
  callbacks.add<GradientAccumulationScheduler>("GradientAccumulationScheduler",
                                               "changes accumulate_grad_batches with the epoch");
  add_callbacks_of_weights(callbacks);
  add_callbacks_that_watch(callbacks);
  registry.default_callbacks = {
      {"enable_model_summary", "ModelSummary", "add a ModelSummary unless one is listed"},
      {"enable_progress_bar", "ProgressBar", "add a ProgressBar unless one is listed"},
      {"enable_checkpointing", "ModelCheckpoint", "add a ModelCheckpoint unless one is listed"},
      {kReportSwitch, "", "write report.html into the run's folder at the end of fit"}};

  registry.loggers.add<CsvLogger>("CsvLogger", "metrics.csv and hparams.yaml in the run's folder");
  registry.loggers.add<JsonLinesLogger>("JsonLinesLogger", "metrics.jsonl in the run's folder");
  registry.loggers.add<TensorBoardLogger>("TensorBoardLogger",
                                          "TensorBoard's event file in the run's folder");
  registry.loggers.add<MlflowLogger>("MlflowLogger", "an MLflow server");
  registry.loggers.add<ConsoleLogger>("ConsoleLogger", "a line an epoch on stderr");
  registry.default_loggers = {"CsvLogger"};
}

}  // namespace

Registry shipped_classes() {
  Registry registry;
  add_models_and_data(registry);
  add_callbacks_and_loggers(registry);
  return registry;
}

}  // namespace levin
