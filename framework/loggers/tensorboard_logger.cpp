#include <levin/framework/loggers/tensorboard_logger.h>

#include <unistd.h>

#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/host_name.h>
#include <levin/framework/formats/tfrecord.h>
#include <levin/framework/loggers/image_file.h>
#include <levin/framework/loggers/module_graph.h>
#include <levin/framework/tensor/torch_error.h>

namespace levin {
namespace {

constexpr std::string_view kEventFile = "events.out.tfevents.";

/// A name that no file of the folder has. TensorBoard reads a folder's event files in the order of
/// their names, so the time comes first.
std::filesystem::path new_event_file(const std::filesystem::path& folder) {
  const std::string host = host_name();
  for (int number = 0;; ++number) {
    auto path =
        folder / fmt::format("{}{:010}.{}.{}.{}", kEventFile,
                             static_cast<int64_t>(files::wall_seconds()), host, ::getpid(), number);
    if (!files::exists(path)) return path;
  }
}

}  // namespace

Fields describe(TensorBoardLoggerOptions& o) {
  return fields_of<TensorBoardLoggerOptions>({
      {"flush_interval", &o.flush_interval,
       "longest time in seconds that rows stay in memory before they are written"},
      {"log_graph", &o.log_graph, "write the graph of the model's operations when fit starts"},
  });
}

TensorBoardLogger::TensorBoardLogger(TensorBoardLoggerOptions options) : options_(options) {}

void TensorBoardLogger::start(Run& run) {
  const auto mark = std::exchange(mark_, std::nullopt);
  const std::filesystem::path& folder = run.log_dir();
  has_settings_ = mark && files::exists(folder / mark->file);
  has_graph_ = has_settings_ && mark->has_graph;
  if (has_settings_) return cut_back(folder / mark->file, mark->offset);
  begin_file(folder);
}

void TensorBoardLogger::begin_file(const std::filesystem::path& folder) {
  file_.open(new_event_file(folder), 0, options_.flush_interval);
  file_.append_header(events::file_version(files::wall_seconds()));
}

void TensorBoardLogger::cut_back(const std::filesystem::path& path, int64_t offset) {
  const std::string text = files::read_text(path);
  const auto end =
      static_cast<int64_t>(tfrecord::end_of_records(text, static_cast<size_t>(offset)));
  if (end == 0 || (end != offset && std::ssize(text) >= offset)) {
    throw CheckpointError::io("continue", path.string(),
                              "it isn't the event file that the checkpoint's run wrote; move it "
                              "out of the run's folder to begin a new file");
  }
  if (end < offset) {
    diagnostics::print(
        fmt::format("warning: {} has only {} of the {} bytes that it had when the "
                    "checkpoint was taken; the missing events are lost\n",
                    path.string(), end, offset));
  }
  file_.open(path, end, options_.flush_interval);
}

void TensorBoardLogger::log_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) {
  for (const auto& [name, value] : metrics) row_.add(name, value);
  if (!metrics.contains("epoch")) row_.add("epoch", static_cast<double>(epoch));
  file_.append(row_.finish(step, files::wall_seconds()));
  if (file_.is_due()) file_.flush();
}

void TensorBoardLogger::log_epoch_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) {
  log_metrics(metrics, epoch, step);
  file_.flush();
}

void TensorBoardLogger::log_hyper_parameters(const Value& settings) {
  if (std::exchange(has_settings_, true)) return;
  file_.append_header(events::settings(settings, files::wall_seconds()));
  file_.flush();
}

void TensorBoardLogger::log_graph(Module& module, const Batch& input) {
  if (has_graph_) return;
  try {
    const auto nodes = module_graph(module, input);
    file_.append_header(events::graph(nodes, files::wall_seconds()));
    file_.flush();
    has_graph_ = true;
  } catch (const std::exception& error) {
    diagnostics::print(
        fmt::format("warning: the graph of the module isn't logged: {}\n", plain_message(error)));
  }
}

void TensorBoardLogger::log_text(std::string_view tag, std::string_view text, int64_t step) {
  file_.append(events::text(tag, text, step, files::wall_seconds()));
}

void TensorBoardLogger::log_image(std::string_view tag, const torch::Tensor& image, int64_t step) {
  file_.append(events::image(tag, image_file(tag, image), step, files::wall_seconds()));
}

void TensorBoardLogger::log_histogram(std::string_view tag, const torch::Tensor& values,
                                      int64_t step) {
  const torch::Tensor numbers = values.detach().cpu().to(torch::kDouble).contiguous();
  const auto histogram = events::histogram_of(
      {numbers.const_data_ptr<double>(), static_cast<size_t>(numbers.numel())});
  if (histogram.limits.empty()) return;
  file_.append(events::histogram(tag, histogram, step, files::wall_seconds()));
}

void TensorBoardLogger::flush() { file_.flush(); }

void TensorBoardLogger::finish(bool failed) {
  if (!file_.is_open()) return;
  file_.append_header(events::end_of_run(failed, files::wall_seconds()));
  file_.close();
}

StateDict TensorBoardLogger::state_dict() const {
  StateDict state;
  state.values["file"] = file_.path().filename().string();
  state.values["offset"] = file_.offset();
  state.values["has_graph"] = has_graph_;
  return state;
}

void TensorBoardLogger::load_state_dict(const StateDict& state) {
  // Only a name counts: what a checkpoint says must not lead out of the run's folder.
  const std::filesystem::path name(state.values.at("file").as_string());
  if (!name.filename().string().starts_with(kEventFile)) return;
  mark_ = Mark{.file = name.filename().string(),
               .offset = state.values.at("offset").as_int(),
               .has_graph = state.values.contains("has_graph") &&  // older checkpoints lack it
                            state.values.at("has_graph").as_bool()};
}

}  // namespace levin
