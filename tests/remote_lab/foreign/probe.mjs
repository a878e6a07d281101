// Runs one command by winrm-client, from the folder of its modules, and writes what it brought back.
import { createRequire } from 'node:module';

const [, , modules, port, user, password, command] = process.argv;
const winrm = createRequire(modules + '/')('winrm-client');
try {
  process.stdout.write(await winrm.runCommand(command, '127.0.0.1', user, password, Number(port), false));
} catch (error) {
  process.stdout.write('failed: ' + error.message);
  process.exitCode = 1;
}
