#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <levin/cli/command.h>

namespace levin {

/// The command `levin sweep`: a grid over settings that the command line gives several values.
///
///     levin sweep --config digits.yaml --model.hidden_sizes=[16],[32],[64] --data.batch_size=32,64
Command sweep_command();

/// Divides what follows `--key=` at its commas, apart from those in brackets, braces and quotes:
/// "[16],[32,32]" is "[16]" and "[32,32]".
std::vector<std::string> values_of_sweep(std::string_view word);

/// The command line of `levin sweep` if this is one of `levin fit ... --sweep`, which means the
/// same; otherwise the command line as it is.
std::vector<const char*> with_sweep(int argc, const char* const* argv);

}  // namespace levin
