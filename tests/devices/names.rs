use wgrad::{Backend, Device, DeviceKind, ErrorKind};

use crate::{child, is_child, printed};

#[test]
fn the_cpu_path_is_the_last_of_the_list_by_every_name() {
    let list = Device::list();
    let last = list.len() - 1;
    assert_eq!(list[last].kind, DeviceKind::Cpu);
    let line = list[last].to_string();
    for name in ["cpu", " CPU\n", &last.to_string(), &line, &format!("{last}: {line}")] {
        assert_eq!(Device::named(name).unwrap().name(), "cpu", "'{name}'");
    }
    let error = Device::named(&list.len().to_string()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoDevice);
    assert!(error.to_string().contains(&format!("{last}: cpu")), "{error}");
    // The words of other libraries lead to those of this one.
    for name in ["cuda", "cuda:0", "mps", "cpu:0", "opengl", "directx"] {
        let error = Device::named(name).unwrap_err().to_string();
        assert!(error.contains(&format!("'{name}'")) && error.contains("cpu, gpu, vulkan, metal, dx12, gl"), "{error}");
    }
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn an_adapter_is_opened_by_number_line_and_name() {
    for (number, info) in Device::list().iter().enumerate() {
        for name in [number.to_string(), format!("  {number}: {info} "), info.to_string(), info.name.to_uppercase()] {
            let opened = Device::named(&name).unwrap().describe();
            assert_eq!(opened.name, info.name, "'{name}'");
            assert_eq!(opened.kind, info.kind, "'{name}'");
        }
    }
    let gpu = Device::gpu().unwrap();
    assert_eq!(gpu.describe().name, Device::list()[0].name);
    // Where there are others, GL has no place in the list, and is opened by its word and by its line.
    if let Ok(gl) = Device::named("gl").map(|device| device.describe()) {
        assert_eq!(gl.backend, Backend::Gl);
        assert_eq!(Device::named(&gl.to_string()).unwrap().describe().backend, Backend::Gl);
    }
    // "15.0.6" is a part of llvmpipe's name.
    let version = Device::list()[0].name.split([' ', ',', ')']).find(|word| word.contains('.')).map(str::to_string);
    if let Some(version) = version.filter(|version| version.chars().all(|c| c.is_ascii_digit() || c == '.')) {
        assert_eq!(Device::named(&version).unwrap_err().kind(), ErrorKind::NoDevice, "{version}");
    }
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn an_opened_adapter_has_the_workgroup_memory_that_it_can_have() {
    let list = Device::list();
    for (number, info) in list.iter().enumerate().filter(|(_, info)| info.kind != DeviceKind::Cpu) {
        let device = Device::named(&number.to_string()).unwrap();
        assert_eq!(device.capabilities(), &info.capabilities, "{info}");
        let options = wgrad::DeviceOptions::new(number.to_string()).default_limits(true);
        assert!(options.open().unwrap().capabilities().workgroup_memory <= 16 << 10, "{info}");
    }
}

#[test]
fn a_message_says_where_the_name_came_from() {
    if is_child() {
        println!("{}", Device::auto().unwrap_err());
        return;
    }
    let test = "names::a_message_says_where_the_name_came_from";
    let text = printed(&child(test, |command| {
        command.env("WGRAD_DEVICE", "voodoo2");
    }));
    assert!(text.contains("'voodoo2', which WGRAD_DEVICE asks for"), "{text}");
    assert!(!Device::named("voodoo2").unwrap_err().to_string().contains("WGRAD_DEVICE"));
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn who_does_not_ask_for_gl_is_not_told_of_its_troubles() {
    if is_child() {
        println!("{} devices", Device::list().len());
        Device::gpu().unwrap();
        Device::auto().unwrap();
        return;
    }
    if Device::list()[0].backend == Backend::Gl {
        return;
    }
    let text = printed(&child("names::who_does_not_ask_for_gl_is_not_told_of_its_troubles", |command| {
        command.env_remove("XDG_RUNTIME_DIR").env_remove("WGRAD_DEVICE");
        // Mesa's layer that sorts Vulkan's devices complains likewise, wherever Vulkan is used.
        command.env("NODEVICE_SELECT", "1");
    }));
    assert!(text.contains(" devices") && !text.contains("XDG_RUNTIME_DIR"), "{text}");
}
