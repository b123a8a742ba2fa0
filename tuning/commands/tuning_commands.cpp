#include <levin/tuning/commands/tuning_commands.h>

#include <levin/tuning/commands/sweep_command.h>
#include <levin/tuning/commands/tune_command.h>

namespace levin {

Commands tuning_commands() { return {sweep_command(), tune_command()}; }

}  // namespace levin
