// Prints what Khronos' glTF validator says of a file, as JSON: node validate.js FILE
const validator = require("gltf-validator");
const content = new Uint8Array(require("fs").readFileSync(process.argv[2]));
validator.validateBytes(content).then((report) => console.log(JSON.stringify(report.issues)));
