#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include <c10/util/intrusive_ptr.h>

#include <levin/framework/core/error.h>
#include <levin/framework/launch/run_secret.h>

namespace c10d {
class Store;
}

namespace levin {

/// The error for a value in the store that no rank with this rank's secret has written, with what
/// to do.
DistributedError foreign_value(std::string_view key);

/// Options of make_sealed_store.
struct SealedStoreOptions {
  /// Changes each value before it is stored. Null: values are stored as they are.
  std::function<void(std::vector<uint8_t>&)> clean{};
  /// Whether the store notes the keys that are set, for delete_keys_set.
  bool notes_keys = false;
};

/// Returns a store whose values are those of `inside`, sealed with the run's secret, if there is
/// one: what other programs put into the store is an error and is never parsed, and they can't read
/// what ranks put there. c10d, Gloo and NCCL use it as they would use the store inside.
///
/// Waits poll the store inside, so that they leave it free for other threads and heed signals
/// (PolledWait); they end with an error after `timeout`. A value that another program wrote makes
/// `get` throw DistributedError. Counters (`add`) can't be sealed, so nothing but how long keys are
/// kept may depend on them.
c10::intrusive_ptr<c10d::Store> make_sealed_store(const c10::intrusive_ptr<c10d::Store>& inside,
                                                  RunSecret secret,
                                                  std::chrono::milliseconds timeout,
                                                  SealedStoreOptions options = {});

/// Deletes the keys that were set through `store` itself, which notes no keys from then on. `store`
/// is one that make_sealed_store returned with `notes_keys`. To be called when no rank needs the
/// keys.
void delete_keys_set(c10d::Store& store);

}  // namespace levin
