#include <levin/serving/commands/serving_commands.h>

namespace levin {

Commands serving_commands() { return {}; }

}  // namespace levin
