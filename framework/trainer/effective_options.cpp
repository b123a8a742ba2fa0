#include <levin/framework/trainer/effective_options.h>

#include <utility>

#include <levin/framework/core/home.h>
#include <levin/framework/loops/limits.h>

namespace levin {

TrainerOptions effective_options(TrainerOptions options) {
  validate(options);
  options.default_root_dir = expand_home(std::move(options.default_root_dir), "default_root_dir");
  if (const int64_t n = options.fast_dev_run.count; n > 0) {
    options.max_epochs = 1;
    options.max_steps = n;
    options.num_sanity_val_steps = 0;
    options.val_check_interval = 1.0;
    options.check_val_every_n_epoch = 1;
    options.limit_train_batches = options.limit_val_batches = n;
    options.limit_test_batches = options.limit_predict_batches = n;
  }
  if (!is_off(options.overfit_batches)) {
    options.limit_train_batches = options.limit_val_batches = options.overfit_batches;
  }
  return options;
}

}  // namespace levin
