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

/// GET v2/models/NAME/config, with the fields of Triton's ModelConfig. If the model's `max_batch`
/// is known, shapes lack the rows, and batches are made dynamically; if not, the first size is -1.
std::string model_config_json(const ModelMetadata& model);

/// POST v2/repository/index: [{"name", "version", "state": "READY", "reason": ""}]. The models
/// called `unloaded` are UNAVAILABLE and have no version.
std::string repository_index_json(const std::vector<ModelMetadata>& models,
                                  const std::vector<std::string>& unloaded = {});

/// Returns the versions of a model among `models`, in their order.
std::vector<std::string> versions_of(const std::vector<ModelMetadata>& models,
                                     const std::string& name);

}  // namespace levin
