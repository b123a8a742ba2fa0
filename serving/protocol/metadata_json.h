#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/serving/protocol/model_metadata.h>

/// What a server tells of itself and of its models, as JSON. Sources:
/// kserve/open-inference-protocol inference_rest.md; Triton, extension_model_configuration.md and
/// extension_model_repository.md.
namespace levin {

/// GET v2: {"name": "levin", "version", "extensions": [...]}.
std::string server_metadata_json();

/// GET v2/models/NAME: {"name", "versions", "platform", "inputs", "outputs"}. `versions` are all
/// that can be asked.
std::string model_metadata_json(const ModelMetadata& model,
                                const std::vector<std::string>& versions);

/// GET v2/models/NAME/config, with the fields of Triton's ModelConfig. With a `max_batch` above 0,
/// shapes lack the rows, and batches are made dynamically with a delay of `delay_us` microseconds;
/// with 0 (not known), the first size is -1.
std::string model_config_json(const ModelMetadata& model, int64_t max_batch = 0,
                              int64_t delay_us = 0);

/// POST v2/repository/index: [{"name", "version", "state": "READY", "reason": ""}].
std::string repository_index_json(const std::vector<ModelMetadata>& models);

/// Returns the versions of a model among `models`, in their order.
std::vector<std::string> versions_of(const std::vector<ModelMetadata>& models,
                                     const std::string& name);

}  // namespace levin
