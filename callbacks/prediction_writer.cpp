#include <levin/callbacks/prediction_writer.h>

#include <algorithm>
#include <utility>

#include <ATen/Functions.h>
#include <fmt/format.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/home.h>
#include <levin/framework/run/step.h>

namespace levin {
namespace {

WriteInterval write_interval(const std::string& name) {
  if (name == "batch") return WriteInterval::batch;
  if (name == "epoch") return WriteInterval::epoch;
  if (name == "batch_and_epoch") return WriteInterval::batch_and_epoch;
  throw ConfigError::invalid_value("PredictionWriter.write_interval", name,
                                   "must be batch, epoch or batch_and_epoch");
}

}  // namespace

void BasePredictionWriter::on_predict_start(Run&) { kept_.clear(); }

void BasePredictionWriter::on_predict_batch_end(const NamedTensors& outputs, const Batch& batch,
                                                Step& step) {
  if (step.run().place().model_rank > 0) return;  // rank 0 of the model has the same rows
  if (interval_ != WriteInterval::epoch) write_on_batch_end(outputs, batch, step);
  if (interval_ == WriteInterval::batch) return;
  for (const auto& [name, tensor] : outputs) {
    auto found = kept_.begin();
    while (found != kept_.end() && found->first != name) ++found;
    if (found == kept_.end()) found = kept_.insert(found, {name, {}});
    found->second.push_back(tensor.detach().to(at::kCPU, tensor.scalar_type(),
                                               /*non_blocking=*/false, /*copy=*/true));
  }
}

void BasePredictionWriter::on_predict_epoch_end(Run& run) {
  if (interval_ == WriteInterval::batch || run.place().model_rank > 0) return;
  NamedTensors all;
  for (auto& [name, parts] : kept_) all.emplace_back(name, at::cat(std::exchange(parts, {})));
  kept_.clear();
  write_on_epoch_end(all, run);
}

Fields describe(PredictionWriterOptions& o) {
  return fields_of<PredictionWriterOptions>({
      {"output_dir", &o.output_dir,
       "the folder to write to; relative ones are in the run's folder"},
      {"write_interval", &o.write_interval, "write after each batch, epoch or batch_and_epoch"},
  });
}

PredictionWriter::PredictionWriter(PredictionWriterOptions options)
    : BasePredictionWriter(write_interval(options.write_interval)), options_(std::move(options)) {
  if (options_.output_dir.empty()) {
    throw ConfigError::invalid_value("PredictionWriter.output_dir", "''", "must be a folder");
  }
  options_.output_dir = expand_home(std::move(options_.output_dir), "PredictionWriter.output_dir");
}

void PredictionWriter::on_predict_start(Run& run) {
  BasePredictionWriter::on_predict_start(run);
  rows_.clear();
  folder_ = options_.output_dir;
  if (folder_.is_relative()) folder_ = run.log_dir() / folder_;
  const bool are_several = run.ranks().size() > run.place().model_size;
  suffix_ = are_several ? fmt::format("-rank{}", run.ranks().rank()) : "";
  if (run.place().model_rank == 0) files::create_folder(folder_);
}

void PredictionWriter::on_predict_batch_end(const NamedTensors& outputs, const Batch& batch,
                                            Step& step) {
  rows_.insert(rows_.end(), batch.row_ids().begin(), batch.row_ids().end());
  BasePredictionWriter::on_predict_batch_end(outputs, batch, step);
}

void PredictionWriter::write_on_batch_end(const NamedTensors& outputs, const Batch& batch,
                                          Step& step) {
  write(fmt::format("batch-{}-{}", step.dataloader_index(), step.batch_index()), outputs,
        batch.row_ids());
}

void PredictionWriter::write_on_epoch_end(const NamedTensors& outputs, Run&) {
  write("predictions", outputs, rows_);
}

void PredictionWriter::write(const std::string& name, const NamedTensors& outputs,
                             const std::vector<int64_t>& rows) const {
  StateDict state;
  for (const auto& [key, tensor] : outputs) state.tensors[key] = tensor;
  const bool has_rows = !outputs.empty() && outputs.front().second.dim() > 0 &&
                        outputs.front().second.size(0) == static_cast<int64_t>(rows.size());
  if (has_rows && !state.tensors.contains("row")) {
    state.tensors["row"] = at::empty({static_cast<int64_t>(rows.size())}, at::kLong);
    std::copy(rows.begin(), rows.end(), state.tensors["row"].mutable_data_ptr<int64_t>());
  }
  save_checkpoint(folder_ / fmt::format("{}{}.safetensors", name, suffix_), state);
}

}  // namespace levin
