#include "server/model/a.h"
