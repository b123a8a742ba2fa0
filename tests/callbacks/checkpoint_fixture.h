#pragma once

#include <levin/callbacks/model_checkpoint.h>

#include "callbacks/fixture.h"

// What the tests of ModelCheckpoint share.

namespace levin::test {

using Names = std::set<std::string>;

inline fs::path folder_of(const FakeLoop& loop) {
  return loop.folder.path() / "run" / "checkpoints";
}
inline Names names_of(const FakeLoop& loop) { return files_in(folder_of(loop)); }

inline void start(FakeLoop& loop, ModelCheckpoint& callback) {
  callback.on_fit_start(loop.run);
  callback.on_train_start(loop.run);
}

}  // namespace levin::test
