#include <levin/serving/models/served_model.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/config/load_module.h>
#include <levin/framework/core/error.h>
#include <levin/framework/tensor/torch_error.h>
#include <levin/serving/models/wire_types.h>
#include <levin/serving/protocol/refusal.h>

namespace levin {
namespace {

bool is_asked_for(const InferenceRequest& request, const std::string& output) {
  return request.outputs.empty() ||
         std::any_of(request.outputs.begin(), request.outputs.end(),
                     [&](const RequestedOutput& each) { return each.name == output; });
}

/// Throws CheckpointError if a file doesn't say of which class its module is. What says it wrongly
/// is left to load_module.
void require_class(const StateDict& checkpoint, const std::string& path) {
  try {
    if (module_description(checkpoint)) return;
  } catch (const CheckpointError&) {
    return;
  }
  throw CheckpointError::io(
      "serve", path,
      "it doesn't say which class its module is of, because another program, `levin export` or an "
      "older Levin wrote it; serve a checkpoint that `levin fit` or a Trainer saved");
}

}  // namespace

ServedModel::ServedModel(const Registry& registry, const std::filesystem::path& path,
                         std::string name, std::string version, at::Device device)
    : device_(device) {
  const StateDict checkpoint = load_checkpoint(path);
  require_class(checkpoint, path.string());
  module_ = load_module(registry, checkpoint, path.string());
  preparation_ = naming_checkpoint(
      path, [&] { return std::make_unique<RowPreparation>(checkpoint, path.string()); });
  metadata_.name = name.empty() ? module_->class_name() : std::move(name);
  metadata_.version = std::move(version);
  metadata_.class_names = class_names_in(module_->data_state());
  preparation_->describe(metadata_);
  if (!device_.is_cpu()) module_->to(device_);
  find_outputs(path.string());
}

void ServedModel::check(const InferenceRequest& request) const {
  preparation_->check(request);
  for (const auto& asked : request.outputs) {
    const bool is_known =
        std::any_of(metadata_.outputs.begin(), metadata_.outputs.end(),
                    [&](const TensorMetadata& output) { return output.name == asked.name; });
    if (is_known) continue;
    std::string known;
    for (const auto& output : metadata_.outputs) known += fmt::format(" '{}'", output.name);
    throw Refusal::malformed(
        fmt::format("the model has no such output; its outputs are:{}", known));
  }
}

NamedTensors ServedModel::outputs_of(const Batch& batch) {
  const c10::InferenceMode inference;
  auto outputs = module_->predict(device_.is_cpu() ? batch : batch.to(device_));
  for (auto& [name, tensor] : outputs) {
    if (!tensor.defined() || tensor.layout() != at::kStrided || tensor.dim() == 0 ||
        tensor.size(0) != batch.rows() || !wire_type_of(tensor.scalar_type())) {
      throw ModuleError::contract("predict",
                                  fmt::format("returned a '{}' that can't be served", name),
                                  "return dense tensors of numbers, [rows, ...]");
    }
    tensor = tensor.cpu().contiguous();
  }
  return outputs;
}

void ServedModel::find_outputs(const std::string& path) {
  NamedTensors outputs;
  try {
    outputs = outputs_of(preparation_->example());
  } catch (const std::exception& error) {
    throw CheckpointError::io("serve", path, plain_message(error));
  }
  for (const auto& [name, tensor] : outputs) {
    TensorMetadata output{.name = name, .type = *wire_type_of(tensor.scalar_type()), .shape = {-1}};
    const auto row = tensor.sizes().slice(1);
    output.shape.insert(output.shape.end(), row.begin(), row.end());
    metadata_.outputs.push_back(std::move(output));
  }
}

void ServedModel::prepare(const std::vector<const InferenceRequest*>& requests) {
  const c10::InferenceMode inference;
  batch_ = preparation_->batch(requests);
}

void ServedModel::predict() { outputs_ = outputs_of(batch_); }

InferenceResponse ServedModel::response_to(const InferenceRequest& request, int64_t begin,
                                           int64_t rows) const {
  InferenceResponse response{
      .model = metadata_.name, .version = metadata_.version, .id = request.id};
  response.outputs.reserve(outputs_.size());
  for (const auto& [name, tensor] : outputs_) {
    if (!is_asked_for(request, name)) continue;
    WireTensor output{.name = name, .type = *wire_type_of(tensor.scalar_type())};
    output.shape.assign(tensor.sizes().begin(), tensor.sizes().end());
    output.shape.front() = rows;
    const size_t row_bytes =
        tensor.size(0) == 0 ? 0 : tensor.nbytes() / static_cast<size_t>(tensor.size(0));
    const auto* data = static_cast<const char*>(tensor.const_data_ptr());
    output.data.assign(data + static_cast<size_t>(begin) * row_bytes,
                       static_cast<size_t>(rows) * row_bytes);
    response.outputs.push_back(std::move(output));
  }
  return response;
}

std::vector<InferenceResponse> ServedModel::answers(
    const std::vector<const InferenceRequest*>& requests) {
  std::vector<InferenceResponse> responses;
  responses.reserve(requests.size());
  int64_t begin = 0;
  for (const auto* request : requests) {
    responses.push_back(response_to(*request, begin, request->rows()));
    begin += request->rows();
  }
  return responses;
}

InferenceResponse ServedModel::answer_in_parts(const InferenceRequest& request, int64_t max_rows) {
  InferenceResponse whole;
  for (int64_t begin = 0; begin < request.rows(); begin += max_rows) {
    const int64_t rows = std::min(max_rows, request.rows() - begin);
    {
      const c10::InferenceMode inference;
      batch_ = preparation_->part(request, begin, rows);
    }
    predict();
    auto part = response_to(request, 0, rows);
    if (begin == 0) {
      whole = std::move(part);
      continue;
    }
    for (size_t i = 0; i < whole.outputs.size(); ++i) {
      whole.outputs[i].shape.front() += rows;
      whole.outputs[i].data += part.outputs[i].data;
    }
  }
  return whole;
}

}  // namespace levin
