#include <levin/framework/run/own_steps.h>

#include <cstddef>
#include <cstring>

#include <levin/framework/run/module.h>

namespace levin {
namespace {

/// Returns where the code of a virtual function of Module is that a call on `module` would run.
///
/// C++ itself can't compare this with the code of Module, so it is read as the Itanium C++ ABI lays
/// it out, which gcc and clang follow: a pointer to a virtual member function holds the function's
/// place in the table of virtual functions, in bytes (plus 1, except on ARM), and an object begins
/// with a pointer to that table. https://itanium-cxx-abi.github.io/cxx-abi/abi.html (2.3, 2.5)
template <class Function>
const void* code_of(const Module& module, Function Module::*function) {
  struct {
    std::ptrdiff_t place;
    std::ptrdiff_t adjustment;
  } pointer{};
  static_assert(sizeof(pointer) == sizeof(function));
  std::memcpy(&pointer, &function, sizeof(pointer));
  const std::byte* table = nullptr;
  std::memcpy(&table, static_cast<const void*>(&module), sizeof(table));
  const void* code = nullptr;
  std::memcpy(&code, table + (pointer.place & ~std::ptrdiff_t{1}), sizeof(code));
  return code;
}

}  // namespace

OwnSteps own_steps(const Module& module) {
  const Module plain{};
  const auto has = [&](auto function) {
    return code_of(module, function) != code_of(plain, function);
  };
  return {.training = has(&Module::training_step),
          .validation = has(&Module::validation_step),
          .test = has(&Module::test_step),
          .predict = has(&Module::predict_step) || has(&Module::predict)};
}

}  // namespace levin
