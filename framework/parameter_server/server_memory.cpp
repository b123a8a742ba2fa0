#include <levin/framework/parameter_server/server_memory.h>

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <new>

namespace levin {
namespace {

constexpr size_t kServerHugePage = size_t{2} << 20;
constexpr size_t kServerLine = 64;

}  // namespace

ServerMemory::ServerMemory(size_t bytes) : bytes_(bytes) {
  const size_t step = bytes >= 2 * kServerHugePage ? kServerHugePage : kServerLine;
  const size_t whole = (std::max<size_t>(bytes, 1) + step - 1) / step * step;
  data_.reset(static_cast<std::byte*>(std::aligned_alloc(step, whole)));
  if (data_ == nullptr) throw std::bad_alloc();
  if (step == kServerHugePage) ::madvise(data_.get(), whole, MADV_HUGEPAGE);
}

void ServerMemory::Freed::operator()(std::byte* memory) const { std::free(memory); }

std::shared_ptr<ServerMemory> ServerMemoryPool::take(size_t bytes) {
  std::shared_ptr<ServerMemory>* spare = nullptr;  // the smallest one that is large enough
  for (auto& one : all_) {
    if (one.use_count() != 1) continue;
    if (one->bytes() >= bytes && (spare == nullptr || one->bytes() < (*spare)->bytes())) {
      spare = &one;
    }
  }
  if (spare != nullptr) return *spare;
  // In place of a smaller one that nobody uses, so that there are never more than are used at once.
  for (auto& one : all_) {
    if (one.use_count() == 1) return one = std::make_shared<ServerMemory>(bytes);
  }
  return all_.emplace_back(std::make_shared<ServerMemory>(bytes));
}

}  // namespace levin
