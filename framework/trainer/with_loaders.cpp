#include <levin/framework/trainer/trainer.h>

#include <utility>

// The stages of a Trainer that gets loaders instead of a data module.

namespace levin {

History Trainer::fit(Module& module, DataLoaders train, DataLoaders val,
                     const std::string& ckpt_path) {
  return fit(module, keep({.train = std::move(train), .val = std::move(val)}), ckpt_path);
}

MetricMap Trainer::validate(Module& module, DataLoaders loaders, const std::string& ckpt_path) {
  return validate(module, keep({.val = std::move(loaders)}), ckpt_path);
}

MetricMap Trainer::test(Module& module, DataLoaders loaders, const std::string& ckpt_path) {
  return test(module, keep({.test = std::move(loaders)}), ckpt_path);
}

NamedTensors Trainer::predict(Module& module, DataLoaders loaders, const std::string& ckpt_path) {
  return predict(module, keep({.predict = std::move(loaders)}), ckpt_path);
}

void Trainer::predict(Module& module, DataLoaders loaders,
                      const std::function<void(const NamedTensors&)>& take,
                      const std::string& ckpt_path) {
  predict(module, keep({.predict = std::move(loaders)}), take, ckpt_path);
}

}  // namespace levin
