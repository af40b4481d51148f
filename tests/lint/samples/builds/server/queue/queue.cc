// A sample.
#include "base/clock.h"
