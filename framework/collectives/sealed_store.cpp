#include <levin/framework/collectives/sealed_store.h>

#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <levin/framework/collectives/polled_wait.h>

namespace levin {
namespace {

using StoreBytes = std::vector<uint8_t>;

std::string_view text_in(const StoreBytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class SealedStore final : public c10d::Store {
 public:
  SealedStore(c10::intrusive_ptr<c10d::Store> inside, RunSecret secret,
              std::chrono::milliseconds timeout, SealedStoreOptions options)
      : c10d::Store(timeout),
        inside_(std::move(inside)),
        secret_(std::move(secret)),
        options_(std::move(options)),
        notes_keys_(options_.notes_keys) {}

  c10::intrusive_ptr<c10d::Store> clone() override;
  using c10d::Store::set;
  void set(const std::string& key, const StoreBytes& value) override;
  using c10d::Store::compareSet;
  /// Only an empty `expected`, which stands for "not set yet", can be compared.
  StoreBytes compareSet(const std::string& key, const StoreBytes& expected,
                        const StoreBytes& desired) override;
  StoreBytes get(const std::string& key) override;
  int64_t add(const std::string& key, int64_t value) override { return inside_->add(key, value); }
  bool deleteKey(const std::string& key) override { return inside_->deleteKey(key); }
  bool check(const std::vector<std::string>& keys) override { return inside_->check(keys); }
  int64_t getNumKeys() override { return inside_->getNumKeys(); }
  void wait(const std::vector<std::string>& keys) override { wait(keys, timeout_); }
  void wait(const std::vector<std::string>& keys,
            const std::chrono::milliseconds& timeout) override;
  bool hasExtendedApi() const override { return false; }
  void delete_keys_set();

 private:
  StoreBytes opened(const std::string& key, const StoreBytes& bytes) const;
  StoreBytes sealed(const std::string& key, const StoreBytes& value) const;

  c10::intrusive_ptr<c10d::Store> inside_;
  RunSecret secret_;
  SealedStoreOptions options_;
  std::mutex mutex_;
  bool notes_keys_;
  std::vector<std::string> keys_set_;
};

c10::intrusive_ptr<c10d::Store> SealedStore::clone() {
  auto options = options_;
  options.notes_keys = false;  // delete_keys_set doesn't reach the clone
  return c10::make_intrusive<SealedStore>(inside_->clone(), secret_, timeout_, std::move(options));
}

StoreBytes SealedStore::sealed(const std::string& key, const StoreBytes& value) const {
  const std::string bytes = secret_.seal(key, text_in(value));
  return {bytes.begin(), bytes.end()};
}

StoreBytes SealedStore::opened(const std::string& key, const StoreBytes& bytes) const {
  const auto value = secret_.open(key, text_in(bytes));
  if (!value) throw foreign_value(key);
  return {value->begin(), value->end()};
}

void SealedStore::set(const std::string& key, const StoreBytes& value) {
  auto clean_value = value;
  if (options_.clean) options_.clean(clean_value);
  inside_->set(key, sealed(key, clean_value));
  const std::lock_guard lock(mutex_);
  if (notes_keys_) keys_set_.push_back(key);
}

void SealedStore::delete_keys_set() {
  std::vector<std::string> keys;
  {
    const std::lock_guard lock(mutex_);
    keys.swap(keys_set_);
    notes_keys_ = false;
  }
  for (const auto& key : keys) inside_->deleteKey(key);
}

StoreBytes SealedStore::compareSet(const std::string& key, const StoreBytes& expected,
                                   const StoreBytes& desired) {
  if (!expected.empty() && secret_.is_set()) {
    C10_THROW_ERROR(NotImplementedError, "a sealed value can't be compared");
  }
  const auto found = inside_->compareSet(key, expected, sealed(key, desired));
  return found.empty() ? found : opened(key, found);
}

StoreBytes SealedStore::get(const std::string& key) {
  wait({key}, timeout_);
  return opened(key, inside_->get(key));
}

void SealedStore::wait(const std::vector<std::string>& keys,
                       const std::chrono::milliseconds& timeout) {
  const double seconds = static_cast<double>(timeout.count()) / 1e3;
  PolledWait wait({.timeout = timeout.count() > 0 ? seconds : 1e9});
  try {
    while (!inside_->check(keys)) wait.pause();
  } catch (const std::runtime_error& error) {
    C10_THROW_ERROR(DistStoreError,
                    fmt::format("waiting for {}: {}", fmt::join(keys, ", "), error.what()));
  }
}

}  // namespace

DistributedError foreign_value(std::string_view key) {
  return DistributedError(fmt::format(
      "the value '{}' in the store at which the ranks meet doesn't carry the run's secret: another "
      "program has written it, or LEVIN_RUN_SECRET isn't the same on all ranks; let only the ranks "
      "reach the port, and give all of them the same secret",
      key));
}

c10::intrusive_ptr<c10d::Store> make_sealed_store(const c10::intrusive_ptr<c10d::Store>& inside,
                                                  RunSecret secret,
                                                  std::chrono::milliseconds timeout,
                                                  SealedStoreOptions options) {
  return c10::make_intrusive<SealedStore>(inside, std::move(secret), timeout, std::move(options));
}

void delete_keys_set(c10d::Store& store) { dynamic_cast<SealedStore&>(store).delete_keys_set(); }

}  // namespace levin
