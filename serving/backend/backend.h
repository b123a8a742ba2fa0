#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <levin/serving/backend/model_statistics.h>
#include <levin/serving/protocol/inference.h>
#include <levin/serving/protocol/model_metadata.h>

namespace levin {

/// What answers the requests of a server: the models of this process (serving/models), or model
/// processes behind Redis (serving/redis). Every function may be called from any thread.
class Backend {
 public:
  /// Gets what became of a request. Called exactly once for each, on any thread, perhaps before
  /// `infer` has returned; it must not block.
  using Answer = std::function<void(InferenceOutcome)>;

  virtual ~Backend() = default;

  /// Takes a request and returns at once. A request that can't be taken (an unknown model, a full
  /// queue, inputs that don't fit) is answered with a Refusal, too; nothing is thrown.
  virtual void infer(InferenceRequest request, Answer answer) = 0;

  /// The versions of models that can be asked now, sorted by name and, the newest last, by version.
  virtual std::vector<ModelMetadata> models() const = 0;
  /// The names of models that can be loaded, but of which no version can be asked now.
  virtual std::vector<std::string> unloaded() const { return {}; }
  /// Returns the metadata of one of them: of the newest version if `version` is empty, and of the
  /// only model there is if `name` is. Throws Refusal: 404 for one that isn't there, 400 if there
  /// are several models and none is named.
  virtual std::shared_ptr<const ModelMetadata> find(std::string_view name,
                                                    std::string_view version) const;
  /// Whether the server should get requests: all models are loaded, and the queue can be reached.
  virtual bool is_ready() const = 0;
  virtual std::vector<ModelStatistics> statistics() const = 0;

  /// Loads what is newest of a model, or stops serving it (the extension model_repository). Throws
  /// Refusal.
  virtual void load(std::string_view model) = 0;
  virtual void unload(std::string_view model) = 0;

  /// Refuses requests from now on with status 503. Those that were taken are answered.
  virtual void drain() = 0;
};

/// 400: no model is named, and there are several. `models` are sorted by name.
Refusal no_model_is_named();

/// Returns the metadata of a version of a model among `models`; of the newest if `version` is
/// empty. Throws Refusal (404), which names what was asked for.
const ModelMetadata& find_model(const std::vector<ModelMetadata>& models, std::string_view name,
                                std::string_view version);

}  // namespace levin
