#include <levin/callbacks/defaults.h>
#include <levin/callbacks/model_checkpoint.h>
#include <levin/callbacks/model_summary.h>
#include <levin/callbacks/progress_bar.h>
#include <levin/framework/loggers/csv_logger.h>
#include <levin/framework/trainer/trainer.h>

namespace levin {
namespace {

template <class C>
void add_once(Trainer& trainer) {
  for (const auto& callback : trainer.callbacks()) {
    if (dynamic_cast<const C*>(callback.get()) != nullptr) return;
  }
  trainer.add<C>();
}

}  // namespace

void add_defaults(Trainer& trainer) {
  add_once<ModelSummary>(trainer);
  add_once<ProgressBar>(trainer);
  add_once<ModelCheckpoint>(trainer);
  if (trainer.loggers().empty()) trainer.add_logger<CsvLogger>();
}

}  // namespace levin
