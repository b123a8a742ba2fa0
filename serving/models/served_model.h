#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <c10/core/Device.h>

#include <levin/framework/config/registry.h>
#include <levin/framework/run/module.h>
#include <levin/serving/models/row_preparation.h>
#include <levin/serving/protocol/inference.h>
#include <levin/serving/protocol/model_metadata.h>

namespace levin {

/// The module of a checkpoint together with what its data module had learned: the same raw rows get
/// the same answers as from Trainer::predict. One thread may predict at a time.
class ServedModel {
 public:
  /// Loads a checkpoint onto a device, and predicts a row of zeros, by which the outputs are found.
  /// An empty `name` becomes that of the module's class. Throws what load_module throws, and
  /// CheckpointError if the module can't predict.
  ServedModel(const Registry& registry, const std::filesystem::path& path, std::string name,
              std::string version, at::Device device);

  const ModelMetadata& metadata() const { return metadata_; }
  /// Sets how batches are made, which the metadata tell.
  void set_batching(int64_t max_batch, int64_t delay_us) {
    metadata_.max_batch = max_batch;
    metadata_.delay_us = delay_us;
  }
  bool is_on_cpu() const { return device_.is_cpu(); }
  /// Throws Refusal (400) unless the model has the inputs and outputs of the request.
  void check(const InferenceRequest& request) const;

  /// Predicts requests together: `prepare` copies their rows, `predict` computes, and `answers`
  /// returns the outputs that each of them asks for. `prepare` throws Refusal (400) for cells that
  /// can't be used, and `predict` what the module throws.
  void prepare(const std::vector<const InferenceRequest*>& requests);
  void predict();
  std::vector<InferenceResponse> answers(const std::vector<const InferenceRequest*>& requests);
  /// Answers one request in parts of `max_rows` rows.
  InferenceResponse answer_in_parts(const InferenceRequest& request, int64_t max_rows);

 private:
  NamedTensors outputs_of(const Batch& batch);
  void find_outputs(const std::string& path);
  InferenceResponse response_to(const InferenceRequest& request, int64_t begin, int64_t rows) const;

  at::Device device_;
  std::unique_ptr<Module> module_;
  std::unique_ptr<RowPreparation> preparation_;
  ModelMetadata metadata_;
  Batch batch_;
  NamedTensors outputs_;
};

}  // namespace levin
