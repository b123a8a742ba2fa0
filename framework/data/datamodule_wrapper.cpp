#include <levin/framework/data/datamodule_wrapper.h>

#include <utility>

namespace levin {

void DataModuleWrapper::set_floating_type(at::ScalarType type) {
  DataModule::set_floating_type(type);
  data_.set_floating_type(type);
}

void DataModuleWrapper::setup(Stage stage) {
  data_.setup(stage);
  pass_notes();
}

void DataModuleWrapper::set_loader_epoch(int64_t epoch) {
  DataModule::set_loader_epoch(epoch);
  data_.set_loader_epoch(epoch);
}

void DataModuleWrapper::on_after_batch_transfer(Batch& batch) {
  data_.on_after_batch_transfer(batch);
  leave_batches_as_wrapped(batch);
}

void DataModuleWrapper::leave_batches_as_wrapped(Batch& batch) {
  if (!data_.leaves_batches()) return;
  DataModule::on_before_batch_transfer(batch);  // these two say that batches stay as they are
  DataModule::on_after_batch_transfer(batch);
}

void DataModuleWrapper::pass_notes() {
  for (auto& text : data_.take_notes()) note(std::move(text));
}

}  // namespace levin
