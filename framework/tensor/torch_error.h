#pragma once

#include <exception>
#include <string>

#include <c10/util/Exception.h>

namespace levin {

/// Whether the environment asks for the C++ stacks of LibTorch's errors: the variable
/// TORCH_SHOW_CPP_STACKTRACES is set, and not to 0. PyTorch reads the same variable.
bool shows_cpp_stacks();

/// Returns the message of `error` for a person. LibTorch's own errors (c10::Error) come in one line
/// and without the C++ stack, of some 30 lines, that LibTorch appends to them, unless
/// `shows_cpp_stacks`. The messages of other exceptions stay as they are, except that a stack at
/// their end is left out, too.
///
///     catch (const std::exception& error) {
///       std::cerr << "error: " << levin::plain_message(error) << "\n";
///     }
std::string plain_message(const std::exception& error);

/// Makes `what()` of `error` return `plain_message(error)` followed by `place`: "mat1 and mat2
/// shapes cannot be multiplied (32x20 and 30x3) (in fit at epoch 3, step 120, ...)". The error
/// keeps its class.
void say_where(c10::Error& error, const std::string& place);

}  // namespace levin
